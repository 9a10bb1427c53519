# SPDX-License-Identifier: MIT
# What a training will take, from rows of name and number: man plan.sh. All sizes in bytes, rates in units a second.
function least(a, b) { return a < b ? a : b }
function most(a, b) { return a > b ? a : b }
function mb(b) { return sprintf("%.0f", b / 1e6) }
function few(b) { return sprintf(tsv ? "%.6g" : "%.0f", b / 1e6) }
function row(what, value, unit, note) { printf tsv ? "%s\t%s\t%s\t%s\n" : "%-38s %14s %-10s %s\n", what, value, unit, note }
function head(text) { if (!tsv) printf "%s%s\n", began++ ? "\n" : "", text }
function span(s) { return s < 3600 ? sprintf("%.0f min", s / 60) : s < 2 * 86400 ? sprintf("%.1f h", s / 3600) : sprintf("%.1f days", s / 86400) }
BEGIN { FS = "\t" }
{ x[$1] = $2 + 0 }
END {
	N = x["batch"]; R = x["nodes"]; n = N / R; D = x["embed_dim"]; S = x["size"]; T = x["context"]
	views = x["image_views"]; captions = x["caption_views"]
	words = most(0, x["tokens"] - 2)                                             # of a caption, without start and end
	features = 4 * ((views - x["simclr"]) * D + captions * D)                    # of a sample
	features += 4 * (x["simsiam"] * 4 * x["simsiam_width"] + x["simclr"] * x["simclr_width"])
	features += 4 * x["filip"] * (x["patches"] + x["tokens"]) * x["filip_width"]
	gradients = features - x["simsiam"] * 8 * x["simsiam_width"]                 # z has none

	# --- memory ---
	all = x["recompute"] ? x["activations_recompute"] : x["activations"]         # of n samples
	one = x["recompute"] ? x["least_recompute"] : x["least"]
	keep = x["keep"] >= 0 ? x["keep"] * 1048576 : all
	activations = all <= keep ? all : most(one, keep)
	again = all <= keep ? 0 : most(0, least(1, 1 - (keep - one) / all))          # the share of parts that are encoded twice
	pixels = views * S * S * 3                                                   # of a sample; this batch and the next
	queue = x["nns"] * x["queue"]
	frame = 64 * 1048576
	heads = x["simsiam"] * 2 * 4 * (9 * x["simsiam_width"] + 2 * x["simsiam_hidden"]) # activations of a sample
	heads += x["simclr"] * 4 * 6 * x["simclr_hidden"]
	shared = x["weights"] + x["trained"]
	m_encode = 30e6 + activations + n * (2 * pixels + 2 * features + heads + 2 * 4 * T * (captions + 2)) + least(frame, n * features)
	m_loss = 8e6 + least(37e6, N * 12e3) + N * (features + 8 * D * (views - x["simclr"] + captions) + x["nns"] * 4 * D) + queue + (N * features <= frame ? N * features : 0)
	m_loss += x["filip"] * (16e6 + 8 * N * (x["patches"] + words) * x["filip_width"])                 # their gradients in double
	m_step = 25e6 + 2 * x["trained"] + queue + least(frame, n * gradients)
	# the libraries; numbers of all that are being summed; own features as they came and joined, the others', and all in one
	m_mpi = R > 1 ? 12e6 + least(4.2e6 * R, x["trained"]) + (2 + 1 / R) * N * features : 0
	process = shared + m_encode + m_loss + m_step + m_mpi + x["data_bytes"]

	# --- work ---
	work = x["flop"] * n                                                         # useful, of a process
	once = x["simsiam"] * views * (D * x["simsiam_width"] + 2 * x["simsiam_width"] ^ 2 + 2 * x["simsiam_width"] * x["simsiam_hidden"])
	once += x["mlm"] * 0.15 * x["tokens"] * x["text_width"] * x["vocab_size"]    # the heads see the whole batch, once
	forward = work / 3 - 2 * n * once
	twice = forward * again + (x["recompute"] ? forward * 2 / 3 : 0)
	gemms = 4 * ((x["clip"] > 0) + 3 * (x["mvs"] > 0) + (x["siglip"] > 0)) + 6 * x["nns"]
	loss = 2 * N * N * D * gemms + x["nns"] * N * x["queue"] / 4                 # the search is in single precision
	loss += x["simclr"] * 2 * 2 * 4 * N * N * x["simclr_width"]
	tokenwise = x["filip"] * 2 * N * N * x["patches"] * words * x["filip_width"]

	# --- bytes that move ---
	pipes = n * (3 * pixels + 3 * gradients + features)                          # views twice, and out of the decoder about one
	network = R > 1 ? 2 * (R - 1) / R * x["trained"] + (R - 1) / R * N * features : 0

	# --- time ---
	t_encode = (work + twice) / x["encode_rate"]
	t_loss = loss / x["loss_rate"] + (tokenwise ? tokenwise / x["filip_rate"] : 0)
	t_step = x["trained"] / x["step_rate"]
	t_other = n * x["other_seconds"]
	t_net = network / x["network"]
	t_data = n * x["data_seconds"] / x["data_threads"]
	ring = t_encode + t_loss + t_step + t_other + t_net
	step = most(ring, t_data)
	epoch = step * x["pairs"] / N

	head(sprintf("A process%s, samples a step: %d of %d", R > 1 ? sprintf(" of %d", R) : "", n, N))
	row("parameters and gradients, shared", mb(shared), "MB", sprintf("%.4g million parameters", x["weights"] / 4e6))
	row("dc-encode, besides", mb(m_encode), "MB", sprintf("activations %.0f MB of %.0f; %.0f %% of the parts encoded twice", activations / 1e6, all / 1e6, 100 * again))
	row("dc-loss", mb(m_loss), "MB", "")
	row("dc-step, besides", mb(m_step), "MB", "")
	if (R > 1) row("dc-mpi", mb(m_mpi), "MB", "")
	row("the data tools", mb(x["data_bytes"]), "MB", "")
	row("memory of a process and its tools", mb(process), "MB", x["memory"] && process > x["memory"] * 1048576 ? "MORE THAN THERE IS" : "")
	row("a checkpoint on disk", mb(x["weights"] + 2 * x["trained"] + queue), "MB", "")
	head("A step")
	row("bytes through pipes, a process", few(pipes), "MB", "")
	row("bytes over the network, a process", few(network), "MB", R > 1 ? "sent, and as many received" : "")
	row("useful work of the encoder", sprintf("%.4g", work * R / 1e9), "GFLOP", sprintf("%.4g a pair", x["flop"] / 1e9))
	row("work done twice", sprintf("%.4g", twice * R / 1e9), "GFLOP", "")
	row("products of the loss, each process", sprintf("%.4g", (loss + tokenwise) / 1e9), "GFLOP", "in double precision")
	row("encoding", sprintf("%.4g", t_encode), "s", sprintf("at %.4g GFLOP/s a process", x["encode_rate"] / 1e9))
	row("loss", sprintf("%.4g", t_loss), "s", (loss ? sprintf("at %.4g GFLOP/s", x["loss_rate"] / 1e9) : "") \
		(tokenwise ? sprintf("%stokens at %.4g GFLOP/s", loss ? ", " : "", x["filip_rate"] / 1e9) : ""))
	row("update", sprintf("%.4g", t_step), "s", sprintf("at %.4g GB/s of gradients", x["step_rate"] / 1e9))
	row("stream", sprintf("%.4g", t_other), "s", "")
	if (R > 1) row("network", sprintf("%.4g", t_net), "s", sprintf("at %.4g GB/s", x["network"] / 1e9))
	row("data, beside all that", sprintf("%.4g", t_data), "s", sprintf("%.3g ms of a processor a pair", 1e3 * x["data_seconds"]) (t_data > ring ? ": THE STEP WAITS FOR IT" : ""))
	row("a step", sprintf("%.4g", step), "s", sprintf("%.4g pairs/s", N / step))
	head(sprintf("The training: %.4g million pairs, %g epochs", x["pairs"] / 1e6, x["epochs"]))
	row("steps of an epoch", sprintf("%.0f", x["pairs"] / N), "", "")
	row("time of an epoch", tsv ? sprintf("%.0f", epoch) : span(epoch), tsv ? "s" : "", "")
	row("time in all", tsv ? sprintf("%.0f", epoch * x["epochs"]) : span(epoch * x["epochs"]), tsv ? "s" : "",
		sprintf("%.0f processor hours", epoch * x["epochs"] * R * x["threads"] / 3600))
}

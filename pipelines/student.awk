# SPDX-License-Identifier: MIT
# Quantiles of Student's t, for results.awk.
#
# P(|T| <= t) with n degrees of freedom, a finite sum in the cosine of x = atan(t / sqrt(n)) (Abramowitz and Stegun 26.7.3-4):
#   n even: sin x (1 + 1/2 cos^2 x + 1*3/(2*4) cos^4 x + ... to cos^(n-2) x)
#   n odd:  2/pi (x + sin x (cos x + 2/3 cos^3 x + 2*4/(3*5) cos^5 x + ... to cos^(n-2) x))
function within(t, n,    x, c, term, sum, k) {
	x = atan2(t, sqrt(n)); c = cos(x)
	term = n % 2 ? c : 1
	for (k = n % 2 ? 3 : 2; k <= n; k += 2) { sum += term; term *= (k - 1) / k * c * c }
	return n % 2 ? (x + sin(x) * sum) / (2 * atan2(1, 1)) : sin(x) * sum
}
# t(0.975, n): that probability is 0.95; by bisection, t(0.975, 1) = 12.706 being the largest
function quantile(n,    lo, hi, mid, i) {
	if (n in known) return known[n]
	lo = 1.95; hi = 13
	for (i = 0; i < 50; i++) { mid = (lo + hi) / 2; if (within(mid, n) < 0.95) lo = mid; else hi = mid }
	return known[n] = mid
}

//go:build race

package providertest

// fewMessages is less here: the race detector makes everything slower.
const fewMessages = 300

// mostText is less for the same reason. Files are quick.
const mostText = 8 << 20

//go:build race

package providertest

// fewMessages is less here: the race detector makes everything slower.
const fewMessages = 300

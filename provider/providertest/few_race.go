//go:build race

package providertest

// raceEnabled tells that the race detector is on.
const raceEnabled = true

// fewMessages is less here: the race detector makes everything slower.
const fewMessages = 300

// mostText is less for the same reason. Files are quick.
const mostText = 8 << 20

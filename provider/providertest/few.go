//go:build !race

package providertest

// raceEnabled tells that the race detector is on.
const raceEnabled = false

// fewMessages is how many messages the ledger has without -ledger.
const fewMessages = 2000

// mostText is how many bytes of text the suite puts into a call.
const mostText = 128 << 20

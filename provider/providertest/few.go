//go:build !race

package providertest

// fewMessages is how many messages the ledger has without -ledger.
const fewMessages = 2000

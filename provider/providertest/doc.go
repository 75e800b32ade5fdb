// Package providertest is the conformance suite that every provider runs. It is
// public, so that the author of an adapter outside this module can prove theirs.
//
// [Run] sends the suite's own messages ([Messages]) and lives through the suite's
// bad days, against a fake service on loopback. What the service says in its own
// words (the answer that means "taken", the answers that mean "no") comes from
// the [Spec]; everything else is the same for all. The test of an adapter over
// HTTP is one literal:
//
//	func TestConformance(t *testing.T) {
//		config := acme.Config{Key: "key-0123456789abcdef"}
//		providertest.Run(t, providertest.Spec{
//			Name:    "acme",
//			Secrets: []string{config.Key},
//			Config:  config,
//			Unsupported: map[string]mailer.Kind{
//				"scheduled": mailer.KindUnsupported,
//			},
//			Dropped: map[string][]string{
//				"two tags": {"Tags[1]"},
//			},
//			Peer: providertest.HTTP{
//				New: func(baseURL string, client *http.Client) (mailer.Provider, error) {
//					return acme.New(acme.Config{Key: config.Key, BaseURL: baseURL, HTTPClient: client})
//				},
//				Accept: func(n int, _ providertest.Request) (providertest.Answer, string) {
//					id := fmt.Sprintf("acme-%d", n)
//					return providertest.JSON(200, fmt.Sprintf(`{"id":%q}`, id)), id
//				},
//				Templates: func(baseURL string, client *http.Client, names map[string]string) (mailer.Provider, error) {
//					return acme.New(acme.Config{Key: config.Key, BaseURL: baseURL, HTTPClient: client, Templates: names})
//				},
//				Verify:       providertest.JSON(200, `{"account":"example"}`),
//				Unauthorized: providertest.JSON(401, `{"error":"key"}`),
//				Refusals: []providertest.Refusal{
//					{Name: "the key is unknown", Answer: providertest.JSON(401, `{"error":"key"}`), Kind: mailer.KindUnauthorized, NotSent: true, Code: "key"},
//				},
//			},
//		})
//	}
//
// An adapter of another protocol brings a [Peer] of its own.
//
// Two more tests need what only the adapter's author can write. [Requests] sends drawn
// and hostile messages, which a decoder of the service's wire format reads back; and
// [Bench] counts what a send allocates, and measures it:
//
//	func requests(t require.TestingT) providertest.Requests {
//		client, service := providertest.Capture(providertest.JSON(200, `{"id":"acme-1"}`))
//		p, err := acme.New(acme.Config{Key: "key-0123456789abcdef", HTTPClient: client})
//		require.NoError(t, err)
//		return providertest.Requests{Provider: p, Service: service, Says: requireSays}
//	}
//
//	func TestRequestGivesTheMessageBack(t *testing.T) { requests(t).Check(t) }
//
//	func FuzzRequest(f *testing.F) { requests(f).Fuzz(f) }
//
// The requests are compared with testdata/request/<case>.golden in the folder of
// the adapter. "go test -update" rewrites these files; read their diff as the
// description of a change. No clock and no randomness is in them. It rewrites
// testdata/features.json as well, which says what became of each message, and from
// which "go generate ./..." makes the tables of services.
//
// Run takes no part in parallel tests: it looks for goroutines left behind.
package providertest

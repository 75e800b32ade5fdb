package providertest_test

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/envelope"
	"github.com/seed355143d4/mailer/provider/providertest"
)

const toyKey = "toy-key-0123456789abcdef"

// toySpec is what the author of an adapter writes.
func toySpec(defect string) providertest.Spec {
	return providertest.Spec{
		Name:    "toy",
		Secrets: []string{toyKey},
		Config:  toyConfig{Key: toyKey, Prints: defect == "prints the key of Config"},
		Unsupported: map[string]mailer.Kind{
			"no recipient in to":        mailer.KindUnsupported,
			"international local part":  mailer.KindUnsupported,
			"template with nested data": mailer.KindUnsupported,
		},
		TestMode:   "a key that begins with toy-test-",
		Regions:    "EU",
		BatchBytes: toyBatchBytes,
		Memory:     8, // encoding/json grows its buffer
		Notes:      map[string]string{"scheduled": "a year ahead"},
		Dropped: map[string][]string{
			"two tags":     {"Tags[1]"},
			"tracking on":  {"Track.Clicks"},
			"tracking off": {"Track.Clicks"},
		},
		Messages: []providertest.Case{{Name: "scheduled long ago", Message: mailer.Message{
			From: mailer.Address{Address: "shop@example.com"}, To: []mailer.Address{{Address: "ada@example.com"}},
			Text: "Hello\n", SendAt: time.Date(2020, 2, 29, 12, 0, 0, 0, time.UTC),
		}}},
		Peer: providertest.HTTP{
			Volatile: []string{"Authorization"},
			New: func(baseURL string, client *http.Client) (mailer.Provider, error) {
				return newToy(defect, baseURL, toyKey, client)
			},
			Accept: func(n int, _ providertest.Request) (providertest.Answer, string) {
				id := fmt.Sprintf("toy-%d", n)
				return providertest.JSON(200, fmt.Sprintf(`{"ok":true,"id":%q}`, id)), id
			},
			AcceptBatch: func(n int, r providertest.Request) (providertest.Answer, []string) {
				var results, ids []string
				for _, said := range r.Said {
					if said.Where == "to.email" {
						ids = append(ids, fmt.Sprintf("toy-%d-%d", n, len(ids)))
						results = append(results, fmt.Sprintf(`{"to":%q,"id":%q}`, said.What, ids[len(ids)-1]))
					}
				}
				return providertest.JSON(200, `{"ok":true,"id":"batch","results":[`+strings.Join(results, ",")+`]}`), ids
			},
			Partial: func(providertest.Request) (providertest.Answer, string) {
				return providertest.JSON(200, `{"ok":true,"id":"toy-part","refused":["ben@example.com"]}`), "toy-part"
			},
			None: providertest.JSON(200, `{"ok":true,"id":"toy-none","refused":["ada@example.com","ben@example.com"]}`),
			Templates: func(baseURL string, client *http.Client, names map[string]string) (mailer.Provider, error) {
				p, err := newToy(defect, baseURL, toyKey, client)
				p.names = names
				return p, err
			},
			Verify:       providertest.JSON(200, `{"ok":true,"id":"998 left"}`),
			Unauthorized: providertest.JSON(401, `{"error":"key","words":"no such key"}`),
			Quota: func() (providertest.Answer, mailer.Quota) {
				return providertest.JSON(200, `{"ok":true,"id":"998 left"}`), mailer.Quota{Limit: 1000, Remaining: 998}
			},
			Refusals: []providertest.Refusal{
				{Name: "the key is unknown", Answer: providertest.JSON(401, `{"error":"key","words":"no such key"}`), Kind: mailer.KindUnauthorized, NotSent: true, Code: "key"},
				{Name: "no credits, said with status 200", Answer: providertest.JSON(200, `{"error":"credits","words":"none left"}`), Kind: mailer.KindQuota, NotSent: true, Code: "credits"},
			},
		},
	}
}

func TestCorrectAdapterPasses(t *testing.T) {
	providertest.Run(t, toySpec(""))
	alsoTest(t, "")
}

// alsoTest is what the author of an adapter writes beside the Spec.
func alsoTest(t *testing.T, defect string) {
	t.Run("requests", func(t *testing.T) { toyRequests(t, defect).Check(t) })
	t.Run("allocations", func(t *testing.T) {
		providertest.Bench{
			New: func(baseURL string) (mailer.Provider, error) {
				return newToy(defect, baseURL, toyKey, http.DefaultClient)
			},
			Path:   "/v1/send",
			Answer: providertest.JSON(200, `{"ok":true,"id":"toy-1"}`),
			Check:  20,
			Send:   40,
		}.Allocations(t)
	})
}

// toyRequests are read back by toyMail, which the service understands.
func toyRequests(t require.TestingT, defect string) providertest.Requests {
	client, service := providertest.Capture(providertest.JSON(200, `{"ok":true,"id":"toy-1"}`))
	p, err := newToy(defect, "https://api.example.com", toyKey, client)
	require.NoError(t, err)
	return providertest.Requests{
		Provider: p, Service: service, Template: "welcome",
		Says: func(t require.TestingT, m mailer.Message, r mailer.Receipt, c *providertest.Call) {
			require.Equal(t, "https://api.example.com/v1/send", c.URL)
			require.Equal(t, toyKey, c.Header.Get("X-Toy-Key"))
			var w toyMail
			providertest.Decode(t, c.Body, &w)
			m.ID = r.ID
			m, err := envelope.Prepare(m, false)
			require.NoError(t, err)
			for _, l := range []struct {
				want []mailer.Address
				got  []toyBox
			}{{[]mailer.Address{m.From}, []toyBox{w.From}}, {m.To, w.To}, {m.Cc, w.Cc}, {m.Bcc, w.Bcc}, {m.ReplyTo, w.ReplyTo}} {
				require.Equal(t, (&toy{}).boxes(l.want), l.got)
			}
			require.Equal(t, []string{m.ID, m.Subject, m.Text, m.HTML, m.Template.ID}, []string{w.ID, w.Subject, w.Text, w.HTML, w.Template})
			require.Len(t, w.Files, len(m.Attachments))
			for i, a := range m.Attachments {
				require.Equal(t, []string{a.Name, a.ContentType, a.ContentID, string(a.Content)}, []string{w.Files[i].Name, w.Files[i].Type, w.Files[i].CID, string(w.Files[i].Data)})
			}
			headers := providertest.HeadersOf(m)
			require.Len(t, w.Headers, len(headers))
			for k, v := range headers {
				require.Equal(t, v, w.Headers[k])
			}
			require.Len(t, w.Metadata, len(m.Metadata))
			for k, v := range m.Metadata {
				require.Equal(t, v, w.Metadata[k])
			}
			require.Len(t, w.Data, len(m.Template.Data))
			for k, v := range m.Template.Data {
				require.Equal(t, v, w.Data[k])
			}
		},
	}
}

// defectVariable names the defect that the child process has to run with.
const defectVariable = "PROVIDERTEST_DEFECT"

// TestDefect is run by TestBrokenAdapterFails, in a process of its own.
func TestDefect(t *testing.T) {
	defect := os.Getenv(defectVariable)
	if defect == "" {
		t.Skip("runs in a child process only")
	}
	spec := toySpec(defect)
	golden := t.TempDir() + "/request"
	switch defect {
	case "has a golden file left over":
		require.NoError(t, os.CopyFS(golden, os.DirFS("testdata/request")))
		require.NoError(t, os.WriteFile(golden+"/message-of-last-year.golden", nil, 0o600))
		spec.Golden = golden
	case "has no golden files":
		spec.Golden = golden
	case "does another thing than is written down":
		spec.Regions = "the moon"
	case "speaks of a message that is not there":
		spec.Unsupported["carrier pigeon"] = mailer.KindUnsupported
	}
	if providertest.Update() {
		spec.Golden = golden
	}
	providertest.Run(t, spec)
	alsoTest(t, defect)
}

// FuzzDefect is run by TestBrokenAdapterFails as well. Without a defect it holds the
// toy against hostile messages.
func FuzzDefect(f *testing.F) { toyRequests(f, os.Getenv(defectVariable)).Fuzz(f) }

// onlyGolden are the defects that show in a golden file and nowhere else.
var onlyGolden = map[string]bool{
	"misspells a key": true, "asks for the wrong path": true,
	"has a golden file left over": true, "has no golden files": true, "does another thing than is written down": true,
}

// TestBrokenAdapterFails proves that the suite bites: each defect of the toy is
// found, by the subtest that it concerns. The child writes its own golden files,
// as a new adapter does, so that no defect is found only because the toy's golden
// files are right; but for the defects that nothing else can find.
func TestBrokenAdapterFails(t *testing.T) {
	for defect, caught := range map[string]string{
		"drops cc":                                      "message/several_recipients",
		"drops bcc":                                     "message/several_recipients",
		"shows bcc as cc":                               "recipients/each_list_has_a_place_of_its_own",
		"sends an address twice":                        "recipients/an_address_that_stands_twice_is_said_once",
		"does not quote names":                          "message/a_name_that_looks_like_addresses",
		"drops HTML":                                    "message/html_and_text",
		"loses bytes of attachments":                    "large_attachment",
		"drops a tag in silence":                        "message/two_tags",
		"ignores tracking":                              "tracking/Track.Opens",
		"keeps a clock in the request":                  "message/minimal",
		"sends what is unsupported":                     "message/no_recipient_in_to",
		"refuses what is supported":                     "message/scheduled",
		"Check disagrees with Send":                     "message/no_recipient_in_to",
		"checks nothing":                                "invalid_message/a_line_end_in_the_subject",
		"loses the ID":                                  "id",
		"misspells a key":                               "message/html_and_text",
		"has a golden file left over":                   "message/no_golden_file_is_left_over",
		"has no golden files":                           "message/minimal",
		"asks for the wrong path":                       "message/minimal",
		"changes the message":                           "message/several_recipients",
		"writes behind the message's slices":            "message/several_recipients",
		"swaps concurrent bodies":                       "concurrent/64_senders",
		"takes any 200 for a yes":                       "bad_day/refusal:_no_credits,_said_with_status_200",
		"leaks the key":                                 "bad_day/connection_refused",
		"leaks a signature":                             "bad_day/a_web_page_with_status_503",
		"repeats the answer":                            "bad_day/a_web_page_that_repeats_the_request",
		"prints the key":                                "prints_no_secret",
		"prints the key of Config":                      "prints_no_secret",
		"names no provider":                             "bad_day/connection_refused",
		"trusts any certificate":                        "bad_day/certificate_not_trusted",
		"sets an Idempotency-Key":                       "bad_day/a_used_connection_closed_after_the_message_was_read",
		"does not recover":                              "bad_day/connection_refused",
		"calls a cancel a network failure":              "context/canceled_in_silence_after_the_message_was_read",
		"hides the cause":                               "context/deadline_passes_in_silence_after_the_message_was_read",
		"leaves out the status":                         "bad_day/a_web_page_with_status_503",
		"reports plain errors":                          "bad_day/connection_refused",
		"follows redirects":                             "bad_day/a_redirect_to_another_host_with_status_307",
		"changes the client":                            "message/minimal",
		"calls the service in New":                      "message/minimal",
		"claims NotSent after a lost answer":            "bad_day/closed_after_the_message_was_read",
		"never claims NotSent":                          "bad_day/connection_refused",
		"tries again by itself":                         "bad_day/a_web_page_with_status_503",
		"calls everything rejected":                     "bad_day/refusal:_no_credits,_said_with_status_200",
		"hides refused recipients":                      "bad_day/one_of_two_recipients_is_refused",
		"reads an endless body":                         "bad_day/an_answer_of_100_MB",
		"unpacks a bomb":                                "bad_day/an_answer_of_100_MB_in_a_small_gzip",
		"panics on a web page":                          "bad_day/a_web_page_with_status_200",
		"ignores Retry-After":                           "bad_day/status_429_with_seconds",
		"lets Retry-After overflow":                     "bad_day/status_429_with_centuries",
		"returns a receipt without an id":               "message/minimal",
		"returns its own id":                            "message/minimal",
		"ignores the context":                           "context/canceled_in_silence_after_the_message_was_read",
		"reads results by their order":                  "batch/an_answer_with_results_in_another_order",
		"takes a short answer for all":                  "batch/an_answer_with_a_result_too_few",
		"calls a message without a result unsent":       "batch/an_answer_with_a_result_of_nothing",
		"loses a batch with one call":                   "batch/a_lost_answer_leaves_its_own_messages_unknown",
		"sends a batch one by one":                      "batch/more_messages_than_one_call_takes",
		"fills a call with too many bytes":              "batch/texts_fill_a_call_to_the_byte",
		"fills a call by halves":                        "batch/texts_fill_a_call_to_the_byte",
		"counts a message's texts only":                 "batch/texts_fill_a_call_to_the_byte",
		"counts one byte too few":                       "batch/texts_fill_a_call_to_the_byte",
		"counts a file without base64":                  "batch/files_fill_a_call_to_the_byte",
		"fails a call over a message that is too large": "batch/a_message_that_is_too_large_stops_no_other:_file",
		"keeps no connection":                           "concurrent/64_senders_over_TLS_and_half_as_many_connections",
		"keeps two connections":                         "concurrent/256_senders_over_TLS_and_half_as_many_connections",
		"speaks HTTP/1.1 only":                          "concurrent/256_senders_over_one_connection",
		"makes a client for each send":                  "concurrent/64_senders_over_one_socket",
		"copies every file":                             "large_attachment_is_streamed",
		"loses one in a hundred":                        "ledger/page_1",
		"doubles one in a hundred":                      "ledger/page_1",
		"swaps two recipients in a hundred":             "ledger/page_1",
		"leaves a goroutine":                            "leaves_no_goroutine",
		"forgets the names of templates":                "template/a_name_stands_for_the_ID_at_the_service",
		"makes up a template":                           "template/a_name_that_is_not_known_is_the_ID,_or_refused",
		"shares the names of templates":                 "template/a_message_fails_over_to_a_service_with_another_ID_for_the_name",
		"calls a refused recipient a bad message":       "bad_day/one_of_two_recipients_is_refused",
		"takes a message that nobody gets":              "bad_day/both_recipients_are_refused",
		"takes every key for good":                      "verify/bad_credentials",
		"verifies by sending":                           "verify/good_credentials",
		"verifies nothing":                              "verify/good_credentials",
		"asks without the context":                      "verify/canceled_in_silence_in_the_middle_of_the_answer",
		"says that a question may have been sent":       "verify/a_web_page_with_status_503",
		"misreads its credits":                          "quota/good_credentials",
		"does another thing than is written down":       "features",
		"trims texts":                                   "requests",
		"drops empty files":                             "requests",
		"Check has words of its own":                    "FuzzDefect",
		"takes a line end for a blank":                  "FuzzDefect",
		"allocates in Check":                            "allocations/of_a_request",
		"allocates in Send":                             "allocations/of_a_send,_beside_those_of_a_bare_POST",
		"loses the last of a batch":                     "batch/more_messages_than_one_call_takes",
		"makes too large a call":                        "batch/more_messages_than_one_call_takes",
		"mixes up the results of a batch":               "batch/more_messages_than_one_call_takes",
		"stops a batch at a bad message":                "batch/a_message_that_is_wrong_stops_no_other",
		"sends a lost batch again":                      "batch/closed_after_the_message_was_read",
	} {
		t.Run(defect, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if caught != "FuzzDefect" {
				caught = "TestDefect/" + caught
			}
			var parts []string
			for _, part := range strings.Split(caught, "/") {
				parts = append(parts, "^"+part+"$")
			}
			pattern := strings.Join(parts, "/")
			if caught == "TestDefect/leaves_no_goroutine" {
				pattern = "^TestDefect$/^(id|leaves_no_goroutine)$"
			}
			child := exec.CommandContext(ctx, os.Args[0], "-test.run="+pattern, "-test.v", "-rapid.nofailfile", fmt.Sprintf("-update=%t", !onlyGolden[defect]))
			child.Env = append(os.Environ(), defectVariable+"="+defect)
			output, err := child.CombinedOutput()
			require.Error(t, err, "the suite passes a broken adapter:\n%s", output)
			require.Contains(t, string(output), "--- FAIL: "+caught+" ", "another test failed:\n%s", output)
		})
	}
}

func TestMessagesAreValidAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range providertest.Messages() {
		require.NoError(t, c.Message.Validate(), c.Name)
		require.NotEmpty(t, c.Message.ID, c.Name)
		require.False(t, seen[c.Message.ID], c.Name)
		seen[c.Message.ID] = true
		if at := c.Message.SendAt; !at.IsZero() {
			require.Zero(t, at.Nanosecond())
			require.Positive(t, time.Until(at))
		}
	}
	cases := providertest.Messages()
	cases[0].Message.To[0].Address = "changed@example.com"
	require.NotEqual(t, cases[0], providertest.Messages()[0], "each call has to make new messages")
}

func TestInlineImageIsOne(t *testing.T) {
	for _, c := range providertest.Messages() {
		for _, a := range c.Message.Attachments {
			if a.ContentType == "image/png" {
				_, err := png.Decode(bytes.NewReader(a.Content))
				require.NoError(t, err)
			}
		}
	}
}

// Messages can be sent with any Sender.
func ExampleMessages() {
	for _, c := range providertest.Messages() {
		if c.Name == "one-click unsubscribe" {
			fmt.Println(c.Message.ID)
			fmt.Println(c.Message.Unsubscribe.URL)
		}
	}
	// Output:
	// one-click-unsubscribe
	// https://example.com/leave?u=8841&l=news
}

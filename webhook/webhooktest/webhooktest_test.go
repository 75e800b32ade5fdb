package webhooktest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/webhook"
	"github.com/seed355143d4/mailer/webhook/webhooktest"
)

const toyKey = "toy-key-0123456789abcdef"

func toyRequest(body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set(signatureField, toySign(toyKey, body))
	return r
}

// toySpec is what the author of a source writes.
func toySpec(defect string) webhooktest.Spec {
	config := toyConfig{Key: toyKey, Defect: defect}
	return webhooktest.Spec{
		Name:    "toy",
		Secrets: []string{toyKey},
		Config:  config,
		New:     func() (webhook.Source, error) { return newToy(config) },
		Incomplete: map[string]func() (webhook.Source, error){
			"no key": func() (webhook.Source, error) { return newToy(toyConfig{Defect: defect}) },
		},
		Request: toyRequest,
		Proof:   []string{signatureField},
		Signed:  true,
		Forged: map[string]func([]byte) *http.Request{
			"signed with another key": func(body []byte) *http.Request {
				r := toyRequest(body)
				r.Header.Set(signatureField, toySign("another-key", body))
				r.Header.Set("X-Toy-Key", "another-key")
				return r
			},
		},
		Sample: []byte(`{"event":"delivered","id":"toy-1","to":"ada@example.com","time":1793612403,"tags":["welcome"],"data":{"mailer_id":"id-1","plan":"pro"}}`),
		Sampled: webhook.Event{
			Type: webhook.Delivered, MessageID: "toy-1", MailID: "id-1", Recipient: "ada@example.com",
			Time: time.Unix(1793612403, 0).UTC(), Tags: []string{"welcome"}, Metadata: map[string]string{"plan": "pro"},
		},
		Unknown: []byte(`{"event":"teleported","id":"toy-1","to":"ada@example.com","time":1793612404}`),
		Batch:   true,
		RoundTrip: func(t *testing.T, m mailer.Message) (mailer.Receipt, *http.Request) {
			data := map[string]string{"mailer_id": m.ID}
			for k, v := range m.Metadata {
				data[k] = v
			}
			body, err := json.Marshal(map[string]any{
				"event": "delivered", "id": "toy-2", "to": m.To[0].Address, "time": 1793612403, "tags": m.Tags, "data": data,
			})
			require.NoError(t, err)
			return mailer.Receipt{ID: m.ID, Provider: "toy", MessageID: "toy-2"}, toyRequest(body)
		},
	}
}

func TestCorrectSourcePasses(t *testing.T) {
	webhooktest.Run(t, toySpec(""))
}

// defectVariable names the defect that the child process has to run with.
const defectVariable = "WEBHOOKTEST_DEFECT"

// TestDefect is run by TestBrokenSourceFails, in a process of its own.
func TestDefect(t *testing.T) {
	defect := os.Getenv(defectVariable)
	if defect == "" {
		t.Skip("runs in a child process only")
	}
	spec := toySpec(defect)
	switch defect {
	case "has a golden file left over", "has no golden files":
		spec.Payloads = t.TempDir()
		require.NoError(t, os.CopyFS(spec.Payloads, os.DirFS("testdata/webhook")))
		if defect == "has no golden files" {
			require.NoError(t, os.Remove(spec.Payloads+"/two.json.golden"))
		} else {
			require.NoError(t, os.WriteFile(spec.Payloads+"/last-year.json.golden", nil, 0o600))
		}
	case "proves nothing":
		spec.Proof, spec.Forged = nil, nil
	}
	webhooktest.Run(t, spec)
}

// TestBrokenSourceFails proves that the suite bites: each defect of the toy is
// found, by the subtest that it concerns.
func TestBrokenSourceFails(t *testing.T) {
	for defect, caught := range map[string]string{
		"takes an empty key":                       "a_secret_is_required/no_key",
		"prints the key":                           "prints_no_secret",
		"prints the key of Config":                 "prints_no_secret",
		"has another name":                         "sample",
		"proves nothing":                           "",
		"has a golden file left over":              "payload/no_golden_file_is_left_over",
		"has no golden files":                      "payload/two.json",
		"does not verify":                          "proof/X-Toy-Signature_missing",
		"takes a missing signature for a good one": "proof/X-Toy-Signature_missing",
		"takes a part of the signature":            "proof/X-Toy-Signature_cut_off",
		"takes any signature of the right length":  "proof/X-Toy-Signature_altered_in_one_place",
		"forgets case":                             "proof/X-Toy-Signature_altered_in_one_place",
		"takes any key":                            "proof/signed_with_another_key",
		"parses before it verifies":                "proof/X-Toy-Signature_missing",
		"trims the body":                           "proof/of_another_body/with_a_line_end_more",
		"looks at the beginning of the body":       "proof/of_another_body",
		"takes GET":                                "method/GET",
		"changes the request":                      "sample",
		"refuses an empty array":                   "batch/of_none",
		"lets one element cost all":                "batch/an_element_1_costs_no_other",
		"stops at a bad element":                   "batch/an_element_1_costs_no_other",
		"panics on null":                           "batch/an_element_null_costs_no_other",
		"wants every field right":                  "nonsense",
		"reads a million events":                   "hostile/nothing_but_objects",
		"leaves out what is too much":              "batch/of_more_than_are_read",
		"drops unknown types":                      "an_unknown_type_is_other",
		"loses the message's id":                   "sample",
		"loses the mail's id":                      "sample",
		"loses metadata":                           "sample",
		"loses tags":                               "sample",
		"loses metadata with quotes":               "round_trip",
		"counts its events":                        "sample/has_the_same_ID_for_the_second_time",
		"gives every event the same id":            "sample/another_event_has_another_ID",
		"gives no ids":                             "sample",
		"keeps no Raw":                             "sample",
		"shows its id as metadata":                 "sample",
		"calls a link what is none":                "sample",
		"says nothing of a bounce":                 "payload/two.json",
		"logs what it gets":                        "logs_no_secret_and_no_address",
		"mixes up concurrent requests":             "concurrent",
	} {
		t.Run(defect, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			parts := []string{"^TestDefect$"}
			if caught != "" {
				for part := range strings.SplitSeq(caught, "/") {
					parts = append(parts, "^"+part+"$")
				}
			}
			if caught == "logs_no_secret_and_no_address" {
				parts[1] = "^(sample|" + caught + ")$"
			}
			child := exec.CommandContext(ctx, os.Args[0], "-test.run="+strings.Join(parts, "/"), "-test.v")
			child.Env = append(os.Environ(), defectVariable+"="+defect)
			output, err := child.CombinedOutput()
			require.Error(t, err, "the suite passes a broken source:\n%s", output)
			name := strings.TrimSuffix("TestDefect/"+caught, "/")
			require.Contains(t, string(output), "--- FAIL: "+name+" ", "another test failed:\n%s", output)
		})
	}
}

func Example() {
	// The payload and the proof are the service's; the rest is the suite's.
	r := toyRequest([]byte(`{"event":"delivered","to":"ada@example.com"}`))
	source, err := newToy(toyConfig{Key: toyKey})
	if err != nil {
		fmt.Println(err)
		return
	}
	w := httptest.NewRecorder()
	webhook.Handler(source, func(_ context.Context, events []webhook.Event) error {
		fmt.Println(events[0].Type, events[0].Recipient)
		return nil
	}).ServeHTTP(w, r)
	fmt.Println(w.Code)
	// Output:
	// delivered ada@example.com
	// 200
}

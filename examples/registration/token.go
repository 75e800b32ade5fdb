package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"time"
)

// tokenLife is how long a link in a mail works.
const tokenLife = 24 * time.Hour

var errToken = errors.New("the link is not valid, or its time has run out")

// signer makes and reads the tokens in verification links: an address and the
// time until which it may be verified, signed. The application stores nothing
// until the link is followed.
type signer struct{ key [32]byte }

func newSigner() *signer {
	s := &signer{}
	rand.Read(s.key[:])
	return s
}

func (s *signer) sum(payload []byte) []byte {
	h := hmac.New(sha256.New, s.key[:])
	h.Write(payload)
	return h.Sum(nil)
}

func (s *signer) token(email string, now time.Time) string {
	payload := binary.BigEndian.AppendUint64(nil, uint64(now.Add(tokenLife).Unix()))
	payload = append(payload, email...)
	return base64.RawURLEncoding.EncodeToString(payload) + "." + base64.RawURLEncoding.EncodeToString(s.sum(payload))
}

func (s *signer) email(token string, now time.Time) (string, error) {
	p, sum, _ := strings.Cut(token, ".")
	payload, err1 := base64.RawURLEncoding.DecodeString(p)
	got, err2 := base64.RawURLEncoding.DecodeString(sum)
	if err1 != nil || err2 != nil || len(payload) < 8 || !hmac.Equal(got, s.sum(payload)) {
		return "", errToken
	}
	if now.Unix() > int64(binary.BigEndian.Uint64(payload)) {
		return "", errToken
	}
	return string(payload[8:]), nil
}

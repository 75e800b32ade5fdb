package httpapi

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// shared is the transport of every Client whose user brought none: services are
// few, so one pool of connections serves all accounts.
var shared = &http.Transport{
	Proxy: http.ProxyFromEnvironment,
	DialContext: (&net.Dialer{
		Timeout:   10 * time.Second,
		KeepAlive: 15 * time.Second,
	}).DialContext,
	TLSHandshakeTimeout: 10 * time.Second,
	TLSClientConfig: &tls.Config{
		MinVersion: tls.VersionTLS12,
		// A connection made anew resumes the session, without the handshake's
		// public key work.
		ClientSessionCache: tls.NewLRUClientSessionCache(64),
	},
	ForceAttemptHTTP2: true,
	// A connection that dies in silence must not take more mails with it: it is
	// asked after 15 s without a byte, and given up 10 s later.
	HTTP2: &http.HTTP2Config{
		SendPingTimeout:  15 * time.Second,
		PingTimeout:      10 * time.Second,
		WriteByteTimeout: 20 * time.Second,
	},
	// With net/http's default of 2 each of many concurrent sends over HTTP/1.1
	// would open a connection of its own and throw it away. As many may be idle as
	// there can be, so that none is thrown away; and there is a limit, so that a
	// service which hangs cannot use up the process's sockets. Sends beyond it
	// wait, and one whose time runs out while it waits is not sent.
	MaxIdleConns:        1024,
	MaxIdleConnsPerHost: 256,
	MaxConnsPerHost:     256,
	// Shorter than the 60 s and 75 s after which common load balancers close a
	// kept connection. A POST that meets a connection just being closed is lost
	// without a trace of where: nobody may send it again, so its outcome is
	// unknown. A new connection now and then is the better price.
	IdleConnTimeout:        50 * time.Second,
	MaxResponseHeaderBytes: 64 << 10,
	// A registration mail with its headers leaves in one TLS record.
	WriteBufferSize: 16 << 10,
}

module github.com/seed355143d4/mailer/bench

go 1.26.0

require (
	github.com/mrz1836/postmark v1.7.4
	github.com/seed355143d4/mailer v0.1.0
	github.com/sendgrid/sendgrid-go v3.16.1+incompatible
	github.com/wneessen/go-mail v0.8.1
)

require (
	github.com/sendgrid/rest v2.6.9+incompatible // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

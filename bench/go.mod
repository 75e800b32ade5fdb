module github.com/seed355143d4/mailer/bench

go 1.26.0

require (
	github.com/aws/aws-sdk-go-v2 v1.47.7
	github.com/aws/aws-sdk-go-v2/credentials v1.20.15
	github.com/aws/aws-sdk-go-v2/service/sesv2 v1.79.7
	github.com/mailjet/mailjet-apiv3-go/v4 v4.0.7
	github.com/mrz1836/postmark v1.7.4
	github.com/seed355143d4/mailer v0.1.0
	github.com/sendgrid/sendgrid-go v3.16.1+incompatible
	github.com/wneessen/go-mail v0.8.1
)

require (
	github.com/aws/aws-sdk-go-v2/internal/configsources v1.5.10 // indirect
	github.com/aws/aws-sdk-go-v2/internal/endpoints/v2 v2.8.10 // indirect
	github.com/aws/aws-sdk-go-v2/internal/v4a v1.5.10 // indirect
	github.com/aws/smithy-go v1.28.8 // indirect
	github.com/sendgrid/rest v2.6.9+incompatible // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

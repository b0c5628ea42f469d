module github.com/ringyo-ai/webhook/examples

go 1.25.0

require github.com/ringyo-ai/webhook v0.0.0

require (
	github.com/cenkalti/backoff/v4 v4.3.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
)

replace github.com/ringyo-ai/webhook => ..

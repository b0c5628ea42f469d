module github.com/ringyo-ai/webhook/internal/itest

go 1.26.0

require github.com/ringyo-ai/webhook v0.0.0

replace github.com/ringyo-ai/webhook => ../..

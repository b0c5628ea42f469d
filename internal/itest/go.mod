module github.com/ringyo-ai/webhook/internal/itest

go 1.26.0

require (
	code.dny.dev/ssrf v0.3.0
	github.com/ringyo-ai/webhook v0.0.0
	github.com/stretchr/testify v1.12.1
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect

replace github.com/ringyo-ai/webhook => ../..

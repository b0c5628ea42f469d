// Package webhook emits and receives webhooks.
package webhook

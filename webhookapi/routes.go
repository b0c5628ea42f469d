package webhookapi

import "net/http"

// routes are the paths below the prefix.
func (h *Handler) routes() map[string]methods {
	return map[string]methods{
		"/webhooks": {
			http.MethodGet:  listEndpoints,
			http.MethodPost: createEndpoint,
		},
		"/webhooks/openapi.json": {http.MethodGet: openAPI},
		"/webhooks/{id}": {
			http.MethodGet:    getEndpoint,
			http.MethodPatch:  patchEndpoint,
			http.MethodDelete: deleteEndpoint,
		},
		"/webhooks/{id}/enable":             {http.MethodPost: enableEndpoint},
		"/webhooks/{id}/disable":            {http.MethodPost: disableEndpoint},
		"/webhooks/{id}/rotate-secret":      {http.MethodPost: rotateSecret},
		"/webhooks/{id}/test":               {http.MethodPost: sendTest},
		"/webhooks/{id}/replay":             {http.MethodPost: replay},
		"/webhooks/{id}/health":             {http.MethodGet: endpointHealth},
		"/webhooks/{id}/stats":              {http.MethodGet: endpointStats},
		"/webhooks/{id}/deliveries":         {http.MethodGet: endpointDeliveries},
		"/webhook-deliveries":               {http.MethodGet: listDeliveries},
		"/webhook-deliveries/{id}":          {http.MethodGet: getDelivery},
		"/webhook-deliveries/{id}/attempts": {http.MethodGet: listAttempts},
		"/webhook-deliveries/{id}/retry":    {http.MethodPost: retryDelivery},
		"/webhook-events":                   {http.MethodGet: listEvents},
		"/webhook-events/{id}":              {http.MethodGet: getEvent},
		"/webhook-event-types":              {http.MethodGet: listEventTypes},
	}
}

package webhookui

import (
	"strconv"

	"github.com/ringyo-ai/webhook"
)

func (p *Portal) enable(v *visit) error {
	health, err := p.engine.EndpointHealth(v.Context(), v.account, v.PathValue("id"))
	if err != nil {
		return err
	}
	ep, err := p.engine.EnableEndpoint(v.Context(), v.account, health.EndpointID)
	if err != nil {
		return err
	}
	p.changed(v, "endpoint enabled", "endpoint", ep.ID)
	return v.to("endpoints/" + ep.ID + "?done=enabled&held=" + strconv.Itoa(health.Held))
}

func (p *Portal) disable(v *visit) error {
	ep, err := p.engine.DisableEndpoint(v.Context(), v.account, v.PathValue("id"))
	if err != nil {
		return err
	}
	p.changed(v, "endpoint disabled", "endpoint", ep.ID)
	return v.to("endpoints/" + ep.ID + "?done=disabled")
}

// release is how far what was held is sent since the endpoint was enabled.
type release struct{ Left, Of int }

// releaseOf returns that, or nil when nothing is left. How many there were at first stands
// in the address after a form that enabled the endpoint.
func releaseOf(h webhook.EndpointHealth, held string) *release {
	if h.Status == webhook.EndpointInactive || h.Held == 0 {
		return nil
	}
	return &release{h.Held, max(h.Held, number(held))}
}

// Done is how many were released.
func (r *release) Done() int { return r.Of - r.Left }

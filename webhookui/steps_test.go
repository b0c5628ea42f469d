package webhookui_test

import (
	"context"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// emitted emits so many events and delivers what is due.
func (s *site) emitted(n int) {
	s.t.Helper()
	for range n {
		require.NoError(s.t, s.engine.Emit(context.Background(), webhook.NewCreditsLow("acme", webhook.CreditsLow{Balance: 1, Threshold: 2})))
	}
	s.deliver()
}

func (s *site) deliver() {
	s.t.Helper()
	for n := 1; n > 0; {
		var err error
		n, err = s.engine.DeliverDue(context.Background())
		require.NoError(s.t, err)
	}
}

// pending counts the pending deliveries of an endpoint.
func (s *site) pending(id string) int {
	s.t.Helper()
	h, err := s.engine.EndpointHealth(context.Background(), "acme", id)
	require.NoError(s.t, err)
	return h.Pending
}

// digits returns the numbers of a text that has narrow spaces in them.
func digits(text string) (list []int) {
	for _, m := range regexp.MustCompile(`\d+`).FindAllString(strings.ReplaceAll(text, "\u202f", ""), -1) {
		n, _ := strconv.Atoi(m)
		list = append(list, n)
	}
	return list
}

var doneOf = regexp.MustCompile(`<p>([^<]* done\.)</p>`)

// Many deliveries are sent again in steps. Each shows how far that is; what is looked at
// in between changes nothing, what was delivered again since is not sent once more, and
// neither is what came later.
func TestRetryingManyGoesInSteps(t *testing.T) {
	t.Parallel()
	const many = 5_300
	s := newSite(t, "/a/b/", nil)
	id := s.create(nil).at.Query().Get("endpoint")
	s.emitted(many)
	asked := s.get("endpoints/" + id + "/retry?status=delivered")
	assert.Contains(t, asked.body, "5\u202f300 events would be sent")
	assert.NotContains(t, asked.body, "<progress")
	s.emitted(1)

	p := s.post("endpoints/"+id+"/retry", asked.fields())
	steps, sent := 0, 0
	for ; doneOf.MatchString(p.body); steps++ {
		n := digits(doneOf.FindStringSubmatch(p.body)[1])
		require.Len(t, n, 2, p.body)
		require.Greater(t, n[0], sent)
		assert.Equal(t, n[0]-sent, s.pending(id), "so many are being sent")
		sent = n[0]
		assert.Equal(t, many, n[1])
		assert.Contains(t, p.body, fmt.Sprintf(`max="%d" value="%d"`, many, sent))
		again := s.finish(s.client.Get(p.at.String()))
		assert.Equal(t, p.body, again.body, "a look changes nothing")
		stop := regexp.MustCompile(`data-stop href="([^"]*)"`).FindStringSubmatch(again.body)
		require.NotNil(t, stop)
		stopped := s.follow(again, stop[1])
		assert.Equal(t, "/a/b/endpoints/"+id+"/deliveries", stopped.at.Path)
		assert.Equal(t, []int{sent}, digits(regexp.MustCompile(`role="status">([^<]*)`).FindStringSubmatch(stopped.body)[1]), "who leaves is told what was done")
		s.deliver()
		p = s.post("endpoints/"+id+"/retry", again.fields())
	}
	assert.Positive(t, steps)
	assert.Equal(t, many-sent, s.pending(id))
	assert.Contains(t, p.body, "5\u202f300 deliveries are being sent again.")
	assert.Equal(t, "/a/b/endpoints/"+id+"/deliveries", p.at.Path)
	assert.Equal(t, "delivered", p.at.Query().Get("status"))
}

// A filter of which little is found ends its page soon; each further page looks at more.
func TestARareTypeIsSearchedFurtherBack(t *testing.T) {
	t.Parallel()
	s := newSite(t, "/a/b/", nil)
	id := s.create(nil).at.Query().Get("endpoint")
	require.NoError(t, s.engine.Emit(context.Background(), webhook.NewAgentCreated("acme", webhook.AgentCreated{AgentID: "agent_1"})))
	s.emitted(5_000)
	further := regexp.MustCompile(`rel="next" href="([^"]*)">([^<]*)<`)
	p := s.get("endpoints/" + id + "/deliveries?event=agent.created")
	for range 2 { // 500 and 4,000
		assert.NotContains(t, p.body, "agent.created</code>")
		assert.Contains(t, p.body, "None of the latest deliveries matches the filter.")
		link := further.FindStringSubmatch(p.body)
		require.NotNil(t, link, p.body)
		assert.Equal(t, "Search further back", link[2])
		p = s.follow(p, html.UnescapeString(link[1]))
		assert.Equal(t, "agent.created", p.at.Query().Get("event"))
	}
	assert.Contains(t, p.body, "agent.created</code>")
	assert.Nil(t, further.FindStringSubmatch(p.body), "all were searched")

	p = s.get("endpoints/" + id + "/deliveries?event=credits.low")
	link := further.FindStringSubmatch(p.body)
	require.NotNil(t, link)
	assert.Equal(t, "Next page", link[2], "a full page")
	assert.NotContains(t, link[1], "further")
	for _, made := range []string{"-1", "99", "x"} {
		assert.Equal(t, 200, s.get("endpoints/"+id+"/deliveries?event=agent.created&further="+made).status)
	}
}

// Without a status it is about what failed, and not about events from before the endpoint,
// which its list does not show.
func TestRetryingAllIsAboutTheList(t *testing.T) {
	t.Parallel()
	s := newSite(t, "/", nil)
	first := s.create(nil).at.Query().Get("endpoint")
	s.emitted(2)
	s.peer.status = 410
	s.emitted(1)
	second := s.create(func(f url.Values) { f.Set("url", "https://example.com/second") }).at.Query().Get("endpoint")
	assert.Contains(t, s.get("endpoints/"+second+"/retry").body, "0 events would be sent")
	all := regexp.MustCompile(`href="([^"]*/retry\?[^"]*)"`)
	for filter, n := range map[string]int{"event=credits.*": 1, "event=call.*+agent.created": -1, "from=2100-01-01T00%3A00": -1, "until=2100-01-01T00%3A00&event=credits.low&status=exhausted": 1} {
		list := s.get("endpoints/" + first + "/deliveries?" + filter)
		link := all.FindStringSubmatch(list.body)
		require.Equal(t, n >= 0, link != nil, "there is nothing to retry for %s", filter)
		if n >= 0 {
			assert.Contains(t, s.follow(list, link[1]).body, fmt.Sprint(n, " events would be sent"), filter)
		}
	}
	assert.Contains(t, s.get("endpoints/"+first+"/retry?event=call.*").body, "0 events would be sent")
	asked := s.get("endpoints/" + first + "/retry")
	assert.Contains(t, asked.body, "1 events would be sent")
	assert.Contains(t, s.post("endpoints/"+first+"/retry", asked.fields()).body, "1 deliveries are being sent again.")
	for _, bad := range []string{"status=held", "before=soon", "until=never", "cursor=bogus&sent=3&of=7"} {
		form, err := url.ParseQuery(bad)
		require.NoError(t, err)
		assert.Equal(t, 400, s.post("endpoints/"+first+"/retry", form).status, bad)
	}
	shown := s.get("endpoints/" + first + "/retry?cursor=bogus&of=-3&sent=x")
	assert.Contains(t, shown.body, "0 of 0 done", "what an address makes up goes no further")
	assert.NotContains(t, shown.body, "<form")
	s.access.ReadOnly = true
	assert.NotContains(t, s.get("endpoints/"+first+"/retry").body, "<form")
}

// Enabling an endpoint shows how much of what was held is left.
func TestTheReleaseOfHeldDeliveriesIsShown(t *testing.T) {
	t.Parallel()
	s := newSite(t, "/", nil)
	id := s.create(nil).at.Query().Get("endpoint")
	s.post("endpoints/"+id+"/disable", nil)
	s.emitted(3)
	assert.NotContains(t, s.get("endpoints/"+id).body, "<progress", "nothing goes on")
	p := s.post("endpoints/"+id+"/enable", nil)
	assert.Contains(t, p.body, "3 of 3 are left")
	assert.Contains(t, p.body, `max="3" value="0"`)
	assert.Contains(t, p.body, `data-refresh-in="2"`)
	assert.Contains(t, s.get("endpoints/"+id+"?held=10").body, "3 of 10 are left")
	assert.Contains(t, s.get("endpoints/"+id).body, "3 of 3 are left")
	s.deliver()
	p = s.finish(s.client.Get(p.at.String()))
	assert.NotContains(t, p.body, "<progress")
	assert.NotContains(t, p.body, "data-refresh-in")
}

// From a later page of a list there is a way to the first one.
func TestListsLeadBackToTheirFirstPage(t *testing.T) {
	t.Parallel()
	s := newSite(t, "/", nil)
	var id string
	for i := range 41 {
		ep, _, err := s.engine.CreateEndpoint(context.Background(), webhook.EndpointParams{
			AccountID: "acme", URL: fmt.Sprint("https://example.com/", i), Events: []webhook.EventType{"*"},
		})
		require.NoError(t, err)
		id = ep.ID
	}
	s.emitted(41)
	next := regexp.MustCompile(`rel="next" href="([^"]*)"`)
	first := regexp.MustCompile(`rel="first" href="([^"]*)"`)
	for _, list := range []string{"", "?status=active", "endpoints/" + id + "/deliveries", "endpoints/" + id + "/deliveries?status=delivered"} {
		p := s.get(list)
		begin := p
		pages := 0
		for ; pages < 5; pages++ {
			assert.Equal(t, pages > 0, first.MatchString(p.body), "%s, page %d", list, pages)
			to := next.FindStringSubmatch(p.body)
			if to == nil {
				break
			}
			p = s.follow(p, to[1])
		}
		assert.Equal(t, 2, pages, list)
		require.Regexp(t, first, p.body, list)
		assert.True(t, begin.body == s.follow(p, first.FindStringSubmatch(p.body)[1]).body, list)
	}
}

// follow follows a link of a page.
func (s *site) follow(p page, href string) page {
	s.t.Helper()
	to, err := p.at.Parse(strings.ReplaceAll(href, "&amp;", "&"))
	require.NoError(s.t, err)
	return s.finish(s.client.Get(to.String()))
}

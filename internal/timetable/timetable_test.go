package timetable_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ringyo-ai/webhook/internal/timetable"
)

func room() bool { return true }

func noRoom() bool { return false }

// waited returns how long Wait took.
func waited(ctx context.Context, t *timetable.Table) time.Duration {
	begin := time.Now()
	t.Wait(ctx)
	return time.Since(begin)
}

func TestTablePollsInAnyCase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tt := timetable.New(time.Second)
		assert.True(t, tt.Ask(room), "the first poll is due")
		assert.False(t, tt.Ask(room))
		assert.Equal(t, time.Second, waited(t.Context(), tt))
		assert.True(t, tt.Ask(room))
	})
}

func TestTableAsksForAnnouncedWork(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		tell func(t *timetable.Table)
		wait time.Duration
		ask  bool
	}{
		"of nothing":                   {func(*timetable.Table) {}, time.Second, true},
		"of work":                      {func(tt *timetable.Table) { tt.Wake() }, 0, true},
		"of perhaps more":              {func(tt *timetable.Table) { tt.More() }, time.Second, true},
		"of room, with work":           {func(tt *timetable.Table) { tt.Nudge(true) }, 0, true},
		"of room":                      {func(tt *timetable.Table) { tt.Nudge(false) }, time.Second, true},
		"of perhaps more, and of room": {func(tt *timetable.Table) { tt.More(); tt.Nudge(false) }, 0, true},
		"to ask sooner":                {func(tt *timetable.Table) { tt.AskIn(20 * time.Millisecond) }, 20 * time.Millisecond, true},
		"of housekeeping":              {func(tt *timetable.Table) { tt.MaintainIn(0) }, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tt := timetable.New(time.Second)
				assert.True(t, tt.Ask(room))
				tc.tell(tt)
				assert.Equal(t, tc.wait, waited(t.Context(), tt))
				assert.Equal(t, tc.ask, tt.Ask(room))
			})
		})
	}
}

func TestTableWithoutRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tt := timetable.New(time.Second)
		assert.False(t, tt.Ask(noRoom))
		assert.Equal(t, time.Second, waited(t.Context(), tt), "the poll is not tried over and over")
		assert.False(t, tt.Ask(noRoom))
		tt.Nudge(false)
		assert.Zero(t, waited(t.Context(), tt), "but made up for once there is room")
		assert.True(t, tt.Ask(room))
		tt.Looking()
		assert.False(t, tt.Ask(room))
	})
}

func TestTableWhatIsSaidAfterLookingCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tt := timetable.New(time.Second)
		tt.Wake()
		assert.True(t, tt.Ask(room))
		tt.Looking()
		tt.Wake()
		assert.True(t, tt.Ask(room))
	})
}

func TestTableOverdue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tt := timetable.New(time.Second)
		assert.Equal(t, time.Now(), tt.Asking())
		time.Sleep(time.Minute)
		assert.False(t, tt.Overdue(time.Second), "nothing is known of")
		tt.More()
		assert.True(t, tt.Overdue(time.Second))
		assert.False(t, tt.Overdue(time.Minute))
		tt.Asking()
		assert.False(t, tt.Overdue(time.Second))
	})
}

func TestTableHousekeeping(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tt := timetable.New(time.Hour)
		tt.AskIn(time.Hour)
		is := func(wantDue, wantPurge bool, text string) {
			t.Helper()
			due, purge := tt.Housekeeping()
			assert.Equal(t, wantDue, due, text)
			assert.Equal(t, wantPurge, purge, text)
		}
		is(true, true, "the first purges")
		is(true, true, "until it was put off")
		tt.PurgeIn(time.Minute)
		is(false, false, "nothing is known to do")
		tt.MaintainIn(2 * time.Second)
		tt.MaintainIn(time.Second)
		tt.MaintainIn(3 * time.Second)
		is(false, false, "not yet")
		for range 2 { // the first call is ended by the signal
			waited(t.Context(), tt)
		}
		is(true, false, "a second later")
		is(false, false, "once")
		time.Sleep(time.Minute)
		is(true, true, "the next purge")
	})
}

func TestTableWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tt := timetable.New(time.Hour)
		tt.AskIn(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.Equal(t, time.Second, waited(ctx, tt))
	})
}

// What one does not know of is looked for more often once it was found, the less the
// longer ago that is.
func TestTablePollsMoreOftenWhilePollsFindSomething(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tt := timetable.New(time.Second)
		assert.True(t, tt.Ask(room))
		tt.Looking()
		tt.Found()
		polls, longest := 0, time.Duration(0)
		for begin := time.Now(); time.Since(begin) < 16*time.Second; {
			since := time.Since(begin)
			wait := waited(t.Context(), tt)
			assert.LessOrEqual(t, wait, max(20*time.Millisecond, since/8+time.Millisecond), "an eighth of the silence before it")
			polls, longest = polls+1, max(longest, wait)
			assert.True(t, tt.Ask(room))
		}
		assert.Equal(t, time.Second, longest, "back to the interval")
		assert.Less(t, polls, 8+60, "an isolated find does not cost much")
	})
}

func TestTableDoesNotPollMoreOftenForAnnouncedWork(t *testing.T) {
	t.Parallel()
	for name, tell := range map[string]func(*timetable.Table){
		"work":            (*timetable.Table).Wake,
		"perhaps more":    (*timetable.Table).More,
		"to ask again":    func(tt *timetable.Table) { tt.AskIn(10 * time.Millisecond); time.Sleep(10 * time.Millisecond) },
		"room, with work": func(tt *timetable.Table) { tt.Nudge(true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tt := timetable.New(time.Second)
				assert.True(t, tt.Ask(room))
				tell(tt)
				assert.True(t, tt.Ask(room))
				tt.Looking()
				tt.Found()
				tt.Nudge(false)
				for waited(t.Context(), tt) == 0 { // the signal that is left
				}
				assert.True(t, tt.Ask(room))
				assert.Equal(t, time.Second, waited(t.Context(), tt))
			})
		})
	}
}

// While polls find something, what is told of counts as well: it may hide what a poll
// would have found.
func TestTableKeepsPollingWhileThereIsWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tt := timetable.New(time.Second)
		assert.True(t, tt.Ask(room))
		tt.Looking()
		tt.Found()
		for range 100 {
			time.Sleep(time.Second / 2)
			tt.More()
			assert.True(t, tt.Ask(room))
			tt.Looking()
			tt.Found()
		}
		assert.Equal(t, 20*time.Millisecond, waited(t.Context(), tt))
	})
}

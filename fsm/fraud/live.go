package fraud

// Live counts the calls that callers have at this moment. It follows from the
// records of live calls and is bounded by them. The zero Live is ready.
type Live struct {
	calls map[Key]uint32
}

// Start counts a call that begins.
func (l *Live) Start(k Key) {
	if l.calls == nil {
		l.calls = map[Key]uint32{}
	}
	l.calls[k]++
}

// End counts a call that ended.
func (l *Live) End(k Key) {
	if l.calls[k] <= 1 {
		delete(l.calls, k)
		return
	}
	l.calls[k]--
}

// Count returns the calls of k.
func (l *Live) Count(k Key) uint32 { return l.calls[k] }

// Check reports whether one more call of k would trip the rule, and why. The
// call is not counted.
func (l *Live) Check(k Key, r Rule, at int64) (Evidence, bool) {
	count := l.calls[k] + 1
	if r.Limit == 0 || count < r.Limit {
		return Evidence{}, false
	}
	return Evidence{Limit: r.Limit, Count: count, First: at, Last: at}, true
}

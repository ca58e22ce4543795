package fraud

// SetBounds lowers the bounds of a tracker, so that tests reach them soon.
func (t *Tracker) SetBounds(windows, perAccount, events int) {
	t.bounds = bounds{windows, perAccount, events}
}

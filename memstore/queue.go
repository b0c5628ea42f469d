package memstore

// queue is a heap of deliveries by due time; each knows its place in it, so
// that it can be taken out of the middle.
type queue []*delivery

// shrinkAbove is the capacity from which a queue that has emptied gives its
// memory back.
const shrinkAbove = 1024

func (q queue) before(i, j int) bool { return q[i].before(q[j]) }

func (d *delivery) before(other *delivery) bool {
	return d.due < other.due || d.due == other.due && d.seq < other.seq
}

func (q queue) swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].pos, q[j].pos = i, j
}

func (q *queue) push(d *delivery) {
	d.pos = len(*q)
	*q = append(*q, d)
	q.up(d.pos)
}

func (q *queue) remove(d *delivery) {
	i, last := d.pos, len(*q)-1
	if i != last {
		q.swap(i, last)
	}
	(*q)[last] = nil
	*q = (*q)[:last]
	if i != last && !q.up(i) {
		q.down(i)
	}
	if c := cap(*q); c > shrinkAbove && last < c/4 {
		*q = append(make(queue, 0, c/2), *q...)
	}
}

func (q queue) up(i int) (moved bool) {
	for i > 0 {
		parent := (i - 1) / 2
		if !q.before(i, parent) {
			break
		}
		q.swap(i, parent)
		i, moved = parent, true
	}
	return moved
}

func (q queue) down(i int) {
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(q); c++ {
			if q.before(c, least) {
				least = c
			}
		}
		if least == i {
			return
		}
		q.swap(i, least)
		i = least
	}
}

// chain links deliveries in the order in which they were added.
type chain struct {
	oldest, newest *delivery
	len            int
}

func (c *chain) add(d *delivery) {
	d.older = c.newest
	if c.newest == nil {
		c.oldest = d
	} else {
		c.newest.newer = d
	}
	c.newest = d
	c.len++
}

func (c *chain) remove(d *delivery) {
	if d.older == nil {
		c.oldest = d.newer
	} else {
		d.older.newer = d.newer
	}
	if d.newer == nil {
		c.newest = d.older
	} else {
		d.newer.older = d.older
	}
	d.older, d.newer = nil, nil
	c.len--
}

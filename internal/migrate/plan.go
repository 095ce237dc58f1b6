package migrate

import "maps"

// plan says which copies there should be of one side in the other: of each instance that is available, is no copy itself, and whose
// place in the service the other side's own instances do not hold.
func plan(from, to View, m marks) map[spot]Copy {
	want := make(map[spot]Copy)
	for service, instances := range from {
		var taken map[place]bool
		for n := range instances {
			i := &instances[n]
			if i.marked() || !i.Available {
				continue
			}
			if taken == nil {
				taken = ownPlaces(to[service])
			}
			at := spot{service, i.place()}
			if _, double := want[at]; double || taken[i.place()] {
				continue
			}
			want[at] = copyOf(service, i, m)
		}
	}
	return want
}

// ownPlaces are the places that a side's own instances hold, in whatever state they are.
func ownPlaces(instances []Instance) map[place]bool {
	places := make(map[place]bool, len(instances))
	for n := range instances {
		if !instances[n].marked() {
			places[instances[n].place()] = true
		}
	}
	return places
}

func copyOf(service Service, i *Instance, m marks) Copy {
	c := Copy{Service: service, Instance: *i}
	c.Instance.Metadata = make(map[string]string, len(i.Metadata)+2)
	maps.Copy(c.Instance.Metadata, i.Metadata)
	c.Instance.Metadata[MarkFrom], c.Instance.Metadata[MarkBy] = m.from, m.by
	return c
}

// leftovers are copies that this mirror made in a side, by its view, that should not be there.
func leftovers(side View, want map[spot]Copy, m marks) map[spot]Copy {
	left := make(map[spot]Copy)
	for service, instances := range side {
		for n := range instances {
			i := &instances[n]
			at := spot{service, i.place()}
			if _, wanted := want[at]; i.by(m) && !wanted {
				left[at] = Copy{Service: service, Instance: *i}
			}
		}
	}
	return left
}

// equal reports whether two copies are registered the same way.
func (c Copy) equal(other Copy) bool {
	a, b := &c.Instance, &other.Instance
	return c.Service == other.Service && a.Address == b.Address && a.Port == b.Port && a.Weight == b.Weight && maps.Equal(a.Ports, b.Ports) &&
		maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Metadata, b.Metadata)
}

// Count is how many services and instances a side has of its own, and how many copies of the other side's.
type Count struct{ Services, Instances, Copies int }

func count(view View) Count {
	var c Count
	for _, instances := range view {
		own := 0
		for n := range instances {
			if instances[n].marked() {
				c.Copies++
			} else {
				own++
			}
		}
		if own > 0 {
			c.Services++
			c.Instances += own
		}
	}
	return c
}

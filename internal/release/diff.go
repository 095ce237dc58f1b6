package release

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// contextLines is how many unchanged lines stand around a change, as diff -u has it.
const contextLines = 3

// maxEdits bounds the search for the shortest edit between two stretches without a line in common that is unique; beyond
// it they are shown as replaced as a whole. Time and memory of the search grow with its square.
const maxEdits = 400

// maxDepth bounds how often a stretch between anchors is searched for anchors again: each time costs as much as the
// stretch is long, and a text can be made so that it would never end.
const maxDepth = 32

// label names a side of a diff.
func label(ref Ref, version int64) string {
	if version == 0 {
		return ref.target()
	}
	return fmt.Sprintf("%s@%d", ref.target(), version)
}

// unifiedDiff compares two texts line by line, in the format of diff -u. It is empty when they are equal. Of contents that are
// no text it says only that they differ.
func unifiedDiff(from, to string, before, after []byte) string {
	if bytes.Equal(before, after) {
		return ""
	}
	if !utf8.Valid(before) || !utf8.Valid(after) || bytes.IndexByte(before, 0) >= 0 || bytes.IndexByte(after, 0) >= 0 {
		return fmt.Sprintf("Binary contents %s and %s differ\n", from, to)
	}
	d := newDiffer(lines(before), lines(after))
	d.compare(span{0, len(d.a)}, span{0, len(d.b)}, maxDepth)
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", from, to)
	d.write(&out)
	return out.String()
}

// lines parts a text behind each line feed; the last one may lack it.
func lines(text []byte) []string {
	if len(text) == 0 {
		return nil
	}
	parts := strings.SplitAfter(string(text), "\n")
	if parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	return parts
}

// span is a half-open range of lines.
type span struct{ from, to int }

func (s span) len() int { return s.to - s.from }

// differ compares by patience (lines that are unique on both sides are anchors) and, between anchors, by Myers' algorithm
// ("An O(ND) Difference Algorithm and Its Variations", 1986).
type differ struct {
	textA, textB []string
	a, b         []int // lines as numbers: equal lines have equal numbers
	keptA, keptB []bool
}

func newDiffer(a, b []string) *differ {
	numbers := make(map[string]int, len(a)+len(b))
	number := func(texts []string) []int {
		out := make([]int, len(texts))
		for i, text := range texts {
			n, ok := numbers[text]
			if !ok {
				n = len(numbers)
				numbers[text] = n
			}
			out[i] = n
		}
		return out
	}
	return &differ{textA: a, textB: b, a: number(a), b: number(b), keptA: make([]bool, len(a)), keptB: make([]bool, len(b))}
}

func (d *differ) keep(i, j int) { d.keptA[i], d.keptB[j] = true, true }

// compare marks the lines that both sides keep.
func (d *differ) compare(a, b span, depth int) {
	for a.len() > 0 && b.len() > 0 && d.a[a.from] == d.b[b.from] {
		d.keep(a.from, b.from)
		a.from++
		b.from++
	}
	for a.len() > 0 && b.len() > 0 && d.a[a.to-1] == d.b[b.to-1] {
		a.to--
		b.to--
		d.keep(a.to, b.to)
	}
	if a.len() == 0 || b.len() == 0 {
		return
	}
	var anchors [][2]int
	if depth > 0 {
		anchors = d.anchors(a, b)
	}
	if len(anchors) == 0 {
		d.shortest(a, b)
		return
	}
	for _, anchor := range append(anchors, [2]int{a.to, b.to}) {
		d.compare(span{a.from, anchor[0]}, span{b.from, anchor[1]}, depth-1)
		if anchor[0] < a.to {
			d.keep(anchor[0], anchor[1])
		}
		a.from, b.from = anchor[0]+1, anchor[1]+1
	}
}

// anchors finds the longest run of lines that are unique on both sides and in the same order.
func (d *differ) anchors(a, b span) [][2]int {
	type places struct{ inA, inB, a, b int }
	seen := map[int]*places{}
	for i := a.from; i < a.to; i++ {
		p := seen[d.a[i]]
		if p == nil {
			p = new(places)
			seen[d.a[i]] = p
		}
		p.inA++
		p.a = i
	}
	for j := b.from; j < b.to; j++ {
		if p := seen[d.b[j]]; p != nil {
			p.inB++
			p.b = j
		}
	}
	var pairs [][2]int
	for i := a.from; i < a.to; i++ {
		if p := seen[d.a[i]]; p.inA == 1 && p.inB == 1 {
			pairs = append(pairs, [2]int{p.a, p.b})
		}
	}
	return increasing(pairs)
}

// increasing returns a longest subsequence whose second members increase; the first ones do already (patience sorting).
func increasing(pairs [][2]int) [][2]int {
	if len(pairs) == 0 {
		return nil
	}
	tops := make([]int, 0, len(pairs))
	before := make([]int, len(pairs))
	for i, pair := range pairs {
		low, high := 0, len(tops)
		for low < high {
			middle := (low + high) / 2
			if pairs[tops[middle]][1] < pair[1] {
				low = middle + 1
			} else {
				high = middle
			}
		}
		before[i] = -1
		if low > 0 {
			before[i] = tops[low-1]
		}
		if low == len(tops) {
			tops = append(tops, i)
		} else {
			tops[low] = i
		}
	}
	out := make([][2]int, len(tops))
	at := tops[len(tops)-1]
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = pairs[at]
		at = before[at]
	}
	return out
}

// shortest marks what a shortest edit keeps, unless it has more than maxEdits edits.
func (d *differ) shortest(a, b span) {
	n, m := a.len(), b.len()
	most := min(n+m, maxEdits)
	// furthest[k+most+1] is the furthest x on diagonal k; trace keeps it for each number of edits.
	furthest := make([]int32, 2*most+3)
	var trace [][]int32
	for edits := 0; edits <= most; edits++ {
		trace = append(trace, append([]int32(nil), furthest[most-edits:most+edits+3]...))
		for k := -edits; k <= edits; k += 2 {
			var x int
			if k == -edits || (k != edits && furthest[k+most] < furthest[k+most+2]) {
				x = int(furthest[k+most+2])
			} else {
				x = int(furthest[k+most]) + 1
			}
			y := x - k
			for x < n && y < m && y >= 0 && d.a[a.from+x] == d.b[b.from+y] {
				x++
				y++
			}
			furthest[k+most+1] = int32(x)
			if x >= n && y >= m {
				d.backtrack(a, b, trace)
				return
			}
		}
	}
}

// backtrack walks the way of the search back and marks what it kept. trace[e] holds diagonals -e-1 to e+1 as they were before
// the e-th edit.
func (d *differ) backtrack(a, b span, trace [][]int32) {
	x, y := a.len(), b.len()
	for edits := len(trace) - 1; edits >= 0; edits-- {
		furthest := trace[edits]
		at := func(k int) int { return int(furthest[k+edits+1]) }
		k := x - y
		previous := k - 1
		if k == -edits || (k != edits && at(k-1) < at(k+1)) {
			previous = k + 1
		}
		startX := at(previous)
		startY := startX - previous
		if edits == 0 {
			startX, startY = 0, 0
		}
		for x > startX && y > startY {
			x--
			y--
			d.keep(a.from+x, b.from+y)
		}
		x, y = startX, startY
	}
}

// write puts out the hunks.
func (d *differ) write(out *strings.Builder) {
	type line struct {
		mark byte
		text string
	}
	var script []line
	var changed []int // places of changes in the script
	for i, j := 0, 0; i < len(d.a) || j < len(d.b); {
		switch {
		case i < len(d.a) && !d.keptA[i]:
			changed = append(changed, len(script))
			script = append(script, line{'-', d.textA[i]})
			i++
		case j < len(d.b) && !d.keptB[j]:
			changed = append(changed, len(script))
			script = append(script, line{'+', d.textB[j]})
			j++
		default:
			script = append(script, line{' ', d.textA[i]})
			i++
			j++
		}
	}
	lineA, lineB, at := 0, 0, 0
	for c := 0; c < len(changed); {
		from := max(changed[c]-contextLines, at)
		last := changed[c]
		for c < len(changed) && changed[c] <= last+2*contextLines {
			last = changed[c]
			c++
		}
		to := min(last+contextLines+1, len(script))
		lineA += from - at // between hunks lie kept lines only
		lineB += from - at
		var hunk strings.Builder
		countA, countB := 0, 0
		for _, l := range script[from:to] {
			if l.mark != '+' {
				countA++
			}
			if l.mark != '-' {
				countB++
			}
			hunk.WriteByte(l.mark)
			hunk.WriteString(l.text)
			if !strings.HasSuffix(l.text, "\n") {
				hunk.WriteString("\n\\ No newline at end of file\n")
			}
		}
		fmt.Fprintf(out, "@@ -%s +%s @@\n%s", hunkRange(lineA, countA), hunkRange(lineB, countB), hunk.String())
		lineA += countA
		lineB += countB
		at = to
	}
}

// hunkRange is "first,count", where an empty range names the line before it.
func hunkRange(before, count int) string {
	switch count {
	case 0:
		return fmt.Sprintf("%d,0", before)
	case 1:
		return fmt.Sprintf("%d", before+1)
	default:
		return fmt.Sprintf("%d,%d", before+1, count)
	}
}

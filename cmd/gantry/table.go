package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// table is an answer for people: aligned columns and nothing drawn around them.
type table struct {
	columns []column
	rows    [][]cell
	// empty is said, beside the answer, when there is no row.
	empty string
}

type column struct {
	name string
	// wide columns show with -o wide alone.
	wide bool
	// number columns are aligned to the right.
	number bool
}

type cell struct {
	text  string
	paint func(string) string
}

func col(name string) column    { return column{name: name} }
func number(name string) column { return column{name: name, number: true} }
func wide(name string) column   { return column{name: name, wide: true} }

func newTable(empty string, columns ...column) *table {
	return &table{columns: columns, empty: empty}
}

// add appends a row: a cell for each column, a string, a number or a cell.
func (t *table) add(values ...any) {
	row := make([]cell, len(t.columns))
	for i, value := range values {
		switch value := value.(type) {
		case cell:
			row[i] = cell{text: printable(value.text), paint: value.paint}
		default:
			row[i] = cell{text: printable(fmt.Sprint(value))}
		}
	}
	t.rows = append(t.rows, row)
}

const (
	columnGap = "  "
	// leastColumn is what a column keeps when a terminal is too narrow for the whole.
	leastColumn = 8
)

// printTable writes a table. Long cells are cut on a terminal, and nowhere else.
func (c *cli) printTable(t *table) error {
	c.clearProgress()
	if len(t.rows) == 0 {
		if t.empty != "" {
			fmt.Fprintln(c.errOut, printable(t.empty))
		}
		return nil
	}
	var shown []int
	for i, column := range t.columns {
		if !column.wide || c.flags.output == outputWide {
			shown = append(shown, i)
		}
	}
	widths := t.widths(shown, !c.flags.noHeaders)
	if c.width > 0 {
		shrink(widths, c.width-len(columnGap)*(len(shown)-1))
	}
	var b strings.Builder
	if !c.flags.noHeaders {
		header := make([]cell, len(t.columns))
		for i, column := range t.columns {
			header[i].text = column.name
		}
		t.writeRow(&b, header, shown, widths)
	}
	for _, row := range t.rows {
		if !c.colour {
			for i := range row {
				row[i].paint = nil
			}
		}
		t.writeRow(&b, row, shown, widths)
	}
	_, err := c.out.Write([]byte(b.String()))
	return err
}

func (t *table) widths(shown []int, headers bool) []int {
	widths := make([]int, len(shown))
	for at, i := range shown {
		if headers {
			widths[at] = columnsOf(t.columns[i].name)
		}
		for _, row := range t.rows {
			widths[at] = max(widths[at], columnsOf(row[i].text))
		}
	}
	return widths
}

// shrink takes from the widest until all fit, or none can give more.
func shrink(widths []int, room int) {
	total := 0
	for _, w := range widths {
		total += w
	}
	for total > room {
		widest := 0
		for i, w := range widths {
			if w > widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= leastColumn {
			return
		}
		widths[widest]--
		total--
	}
}

func (t *table) writeRow(b *strings.Builder, row []cell, shown, widths []int) {
	var line strings.Builder
	for at, i := range shown {
		if at > 0 {
			line.WriteString(columnGap)
		}
		text := cut(row[i].text, widths[at])
		padding := strings.Repeat(" ", widths[at]-columnsOf(text))
		if row[i].paint != nil && text != "" {
			text = row[i].paint(text)
		}
		if t.columns[i].number {
			line.WriteString(padding + text)
		} else {
			line.WriteString(text + padding)
		}
	}
	b.WriteString(strings.TrimRight(line.String(), " "))
	b.WriteByte('\n')
}

// cut shortens a text to so many columns, the last of them an ellipsis.
func cut(text string, columns int) string {
	if columnsOf(text) <= columns {
		return text
	}
	used := 0
	for i, r := range text {
		w := columnsOfRune(r)
		if used+w > columns-1 {
			return text[:i] + "…"
		}
		used += w
	}
	return text
}

// columnsOf is how many columns of a terminal a text takes: Chinese characters take two.
func columnsOf(text string) int {
	n := 0
	for _, r := range text {
		n += columnsOfRune(r)
	}
	return n
}

func columnsOfRune(r rune) int {
	if r < utf8.RuneSelf {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	default:
		return 1
	}
}

// printable replaces what would act on a terminal instead of showing: texts come from services and from
// other people. A tab becomes a space.
func printable(text string) string {
	hostile := func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError }
	if strings.IndexFunc(text, hostile) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\t':
			b.WriteByte(' ')
		case r == '\n':
			b.WriteString(`\n`)
		case !hostile(r) || r == utf8.RuneError:
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// painter colours text, if colours are wanted. The codes are those of ECMA-48.
type painter bool

func (p painter) with(code, text string) string {
	if !p {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p painter) red(text string) string    { return p.with("31", text) }
func (p painter) green(text string) string  { return p.with("32", text) }
func (p painter) yellow(text string) string { return p.with("33", text) }
func (p painter) cyan(text string) string   { return p.with("36", text) }
func (p painter) faint(text string) string  { return p.with("2", text) }

func (c *cli) painter() painter { return painter(c.colour) }

// errPainter is for errOut, which may be a terminal where out is none, and the other way round.
func (c *cli) errPainter() painter {
	return painter(c.live && c.env("NO_COLOR") == "" && c.env("TERM") != "dumb")
}

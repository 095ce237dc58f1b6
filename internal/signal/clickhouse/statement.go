package clickhouse

import (
	"net/url"
	"strconv"
	"strings"
)

// statement is SQL with values beside it. SQL is made of constants of this package alone: whatever comes from outside is bound.
type statement struct {
	sql    strings.Builder
	params url.Values
}

func newStatement(sql string) *statement {
	s := &statement{params: url.Values{}}
	s.sql.WriteString(sql)
	return s
}

func (s *statement) add(sql string) *statement {
	s.sql.WriteString(sql)
	return s
}

// text binds a string and writes its place.
func (s *statement) text(value string) *statement { return s.bind("String", escape(value)) }

// number binds an integer.
func (s *statement) number(value int64) *statement {
	return s.bind("Int64", strconv.FormatInt(value, 10))
}

// time binds nanoseconds since 1970 as a DateTime64(9).
func (s *statement) time(nanoseconds int64) *statement {
	return s.add("fromUnixTimestamp64Nano(").number(nanoseconds).add(", 'UTC')")
}

// texts binds a list. The texts are hexadecimal, or words of ours: nothing in them needs quoting.
func (s *statement) texts(values []string) *statement {
	return s.bind("Array(String)", "['"+strings.Join(values, "','")+"']")
}

func (s *statement) bind(kind, value string) *statement {
	name := "p" + strconv.Itoa(len(s.params))
	s.params.Set("param_"+name, value)
	return s.add("{" + name + ":" + kind + "}")
}

// escape writes a text as ClickHouse reads parameters: as a field of tab-separated values.
var escaper = strings.NewReplacer("\\", `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`, "\b", `\b`, "\f", `\f`, "'", `\'`)

func escape(text string) string { return escaper.Replace(text) }

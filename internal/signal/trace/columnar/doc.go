// Package columnar writes Apache Parquet files of flat rows, a column at a time.
//
// parquet-go's own writer takes rows of values that each say their type, level and column, for every column of every row. A block of spans has some
// sixty columns, of which one span fills twenty, and most of its words are known from the span before: what is handed over here is only what is
// there, as the type that it is, and a word that a column has had already as its number. That is a third of the work.
//
// The file itself is parquet-go's: its schemas, its encodings, its structures of the format and its filters, and any reader of Parquet reads it. There are
// no column indexes (the bounds of single pages), which nobody who reads blocks looks at; offset indexes there are.
//
// Source: https://parquet.apache.org/docs/file-format/ . The package imports nothing of Gantry.
package columnar

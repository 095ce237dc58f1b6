package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const guide = `
The fleet runs. Its logs are in {logs}

  load --> portal --> loan --> risk --> bureau (a third party)
                        \----> fund

Look at it:
  {gantry} services
  {gantry} instances loan
  {gantry} get Config loan.yaml
  curl -d '{"customer": "li-lei", "amount": 8000, "months": 12}' http://{portal}/loans
  curl -s http://{metrics}/metrics | grep lending_requests

Try it, and watch the lines below:
  A careful limit for the one v2 of four loan instances; then for about half of them; then take it back:
    {gantry} diff -f {try}/loan-careful.yaml
    {gantry} apply -f {try}/loan-careful.yaml --label version=v2
    {gantry} applied Config loan.yaml
    {gantry} release Config loan.yaml --percent 50 --preview    # 10 in a larger fleet
    {gantry} promote Config loan.yaml                           # or: abort
    {gantry} rollback Config loan.yaml --yes
  Nonsense, which is refused with line and column:
    {gantry} apply -f {try}/loan-nonsense.yaml
  A bad day of the bureau, and its end:
    {gantry} apply -f {try}/bureau-slow.yaml
    {gantry} rollback Config bureau.yaml --yes
  An instance out of traffic, without a failed loan, and back:
    {gantry} instance drain loan loan-1
    {gantry} instance reset loan loan-1
  An instance that stops in order, and one that dies, with which only what it has under way fails; both start again after {pause}:
    kill {loan}       # loan-2
    kill -9 {risk}    # risk-1
  The server dies, and the fleet goes on without it; it starts again after {server-pause}:
    kill -9 {server}    # the server

Ctrl-C stops everything.

`

// guide says what to look at and what to try, in words that can be pasted.
func (f *fleet) guide(e endpoints) {
	command := relative(f.gantry)
	if f.http != "127.0.0.1:8848" {
		command += " --address http://" + f.http
	}
	values := []string{
		"{gantry}", command, "{try}", relative(f.try), "{logs}", f.logs(), "{portal}", e.portal, "{metrics}", e.metrics,
		"{pause}", servicePause.String(), "{server-pause}", serverPause.String(), "{server}", f.pid("server"), "{loan}", f.pid("loan-2"), "{risk}", f.pid("risk-1"),
	}
	fmt.Fprint(f.out, strings.NewReplacer(values...).Replace(guide))
}

func (f *fleet) pid(name string) string {
	for _, p := range f.all() {
		if p.name == name {
			return fmt.Sprint(p.command.Process.Pid)
		}
	}
	return name
}

// relative is a path as short as it can be pasted here.
func relative(path string) string {
	folder, err := os.Getwd()
	if err != nil {
		return path
	}
	if short, err := filepath.Rel(folder, path); err == nil && len(short) < len(path) {
		return short
	}
	return path
}

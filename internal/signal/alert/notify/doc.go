// Package notify delivers messages about alerts: by webhook, mail, and the robots of Slack, DingTalk, WeCom and Feishu.
//
// # Flow
//
// A [Message] says what a group of alerts has come to. [Sender.Send] writes it in the words of one channel of a Receiver and delivers it once; whoever asked tries again
// when the error is [Error.Temporary].
//
// # Safety
//
// Receivers are documents, so that whoever may write one chooses where this node connects to. Connections go to no address of this machine or its link, nor
// to the addresses under which clouds serve credentials, unless the operator allows it; the address is checked when the connection is made, so that no
// name leads around it. Redirects are not followed, proxies are not asked, times and sizes are bounded. What an answer says is not told: only its status, and the code
// and message of a robot.
//
// URLs, tokens and passwords are in no error: errors are made here, of words of our own, and what stems from elsewhere is searched for them first.
//
// It imports policy (for the shape of a Receiver) and the standard library.
package notify

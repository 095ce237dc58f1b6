// Package console serves the web app to browsers, and gives them a session.
//
// The app is built from console/ into dist/, which the binary embeds; a binary that was built without Node has none, and says so at [Prefix]. Everything else that a
// browser asks is the API that all clients use, by the names that they use.
//
// # Files
//
// Files come as brotli, gzip, or as they are, by what the request accepts; which were made when the app was built. Files below assets/ carry their content in their
// names and never change; one that is not there is 404, so that a page of an older version notices. Every other path that is no file is the page itself, because
// places in the app are paths ([Handler]). The page carries a nonce for the styles that the app makes, fresh in each answer, so it is the one file that is never
// answered with 304.
//
// # Session
//
// [SessionPath] takes user and password, and keeps the token of the login in a cookie that scripts cannot read. [Console.Credentials] lets the cookie count as a
// token where the app needs it: for the API and the metrics, when the request brings no credential of its own, and when the browser says that it is of the same
// origin. That rule holds for reading too. No token ever stands in a URL.
//
// It imports access, fault and protocol/edge, and keeps nothing beyond a request: sessions are tokens of access.
package console

package console

import "net/http"

// secure sets what every answer carries. The nonce is empty where nothing but a page needs one.
//
// Nothing runs but scripts of this server; styles come from it or carry the nonce; nothing is sent anywhere else; no page shows this one in a frame. So what a service
// writes into its names, attributes and configuration has nowhere to run, should the app ever fail to show it as text.
func secure(h http.Header, nonce string) {
	styles := "style-src 'self'"
	if nonce != "" {
		styles += " 'nonce-" + nonce + "'"
	}
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; "+styles+"; img-src 'self' data:; font-src 'self'; connect-src 'self'; worker-src 'self' blob:; "+
		"base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Permissions-Policy", "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=()")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

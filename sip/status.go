package sip

// ReasonPhrase returns the usual reason phrase of a status code
// (RFC 3261 section 21), or that of its class.
func ReasonPhrase(status int) string {
	switch status / 100 {
	case 1, 2, 3:
		return goodPhrase(status)
	case 4:
		return clientPhrase(status)
	default:
		return serverPhrase(status)
	}
}

// goodPhrase is for provisional responses, success and redirection.
func goodPhrase(status int) string {
	switch status {
	case 100:
		return "Trying"
	case 180:
		return "Ringing"
	case 181:
		return "Call Is Being Forwarded"
	case 182:
		return "Queued"
	case 202:
		return "Accepted"
	case 301:
		return "Moved Permanently"
	case 302:
		return "Moved Temporarily"
	}
	return [...]string{"Session Progress", "OK", "Multiple Choices"}[status/100-1]
}

// clientPhrase is for 4xx.
func clientPhrase(status int) string {
	switch status {
	case 401:
		return "Unauthorized"
	case 402:
		return "Payment Required"
	case 403:
		return "Forbidden"
	case 404:
		return "Not Found"
	case 405:
		return "Method Not Allowed"
	case 407:
		return "Proxy Authentication Required"
	case 408:
		return "Request Timeout"
	case 410:
		return "Gone"
	case 413:
		return "Request Entity Too Large"
	case 415:
		return "Unsupported Media Type"
	case 416:
		return "Unsupported URI Scheme"
	case 420:
		return "Bad Extension"
	case 422:
		return "Session Interval Too Small"
	case 480:
		return "Temporarily Unavailable"
	case 481:
		return "Call/Transaction Does Not Exist"
	case 482:
		return "Loop Detected"
	case 483:
		return "Too Many Hops"
	case 484:
		return "Address Incomplete"
	case 486:
		return "Busy Here"
	case 487:
		return "Request Terminated"
	case 488:
		return "Not Acceptable Here"
	case 491:
		return "Request Pending"
	}
	return "Bad Request"
}

// serverPhrase is for 5xx and 6xx.
func serverPhrase(status int) string {
	switch status {
	case 501:
		return "Not Implemented"
	case 502:
		return "Bad Gateway"
	case 503:
		return "Service Unavailable"
	case 504:
		return "Server Time-out"
	case 505:
		return "Version Not Supported"
	case 513:
		return "Message Too Large"
	case 600:
		return "Busy Everywhere"
	case 604:
		return "Does Not Exist Anywhere"
	case 606:
		return "Not Acceptable"
	}
	if status >= 600 {
		return "Decline"
	}
	return "Server Internal Error"
}

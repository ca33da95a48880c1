package buckets

import (
	"errors"
	"io/fs"
	"net/http"

	"github.com/minio/minio-go/v7"
)

// conditionKey is where a request's context has the version that the object must have.
type conditionKey struct{}

// A transport puts If-Match on a DELETE whose context has a condition, which minio-go cannot: the
// header need not be among those that are signed.
type transport struct{ *http.Transport }

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if version, ok := r.Context().Value(conditionKey{}).(string); ok && r.Method == http.MethodDelete {
		r = r.Clone(r.Context())
		r.Header.Set("If-Match", `"`+version+`"`)
	}
	return t.Transport.RoundTrip(r)
}

// status is the status of a response that is an error; 0 where none came.
func status(err error) int {
	var r minio.ErrorResponse
	errors.As(err, &r)
	return r.StatusCode
}

// missing tells whether an error says that there is no such object.
func missing(err error) bool {
	var r minio.ErrorResponse
	errors.As(err, &r)
	return errors.Is(err, fs.ErrNotExist) ||
		r.StatusCode == http.StatusNotFound && r.Code != minio.NoSuchBucket
}

// refused tells whether an error says that a condition does not hold: If-Match of an object that is
// not there is answered with 404.
func refused(err error) bool { return status(err) == http.StatusPreconditionFailed || missing(err) }

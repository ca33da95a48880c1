// Package buckets has the object stores in which servers share agents' memories: buckets of the S3
// API, and buckets of a NATS server with JetStream. Both keep the contract of
// [loadstone/internal/objects.Bucket].
//
//	s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION
//	nats://HOST:4222/BUCKET, or tls://
//
// # S3
//
// minio-go signs and sends the requests. A write under a condition is a PUT with If-None-Match: *
// or If-Match, which is what the S3 API has for compare-and-set since 2024; a version is an ETag.
// Not every store with that API honours the two headers, and some ignore them without a word, so
// [OpenS3] tries both on an object of its own and refuses a store that does not.
//
// Each write has a mark of its own in the object's metadata. Where an answer was lost and the
// request was sent again, the store says that the condition does not hold, and the mark tells
// whether it was this write that changed the object.
//
// An object that is to be deleted if it has a version is overwritten, under that condition, by a
// tombstone of 41 bytes, which Get and List do not show. A store that honours conditions on DELETE,
// as Amazon's does since 2025, then deletes the tombstone, if it is still there. In others it stays
// until an object is written in its place, because nothing else can be sure that none is.
//
// # NATS
//
// A bucket is a stream with one message for each subject, as a NATS key-value bucket is, and its
// clients can read it (nats kv ls BUCKET). A version is the sequence number of a message, which no
// two writes share. An object that is too large for a message is in an object store of the same
// name, and its message says under which name there.
//
// A server answers when a write is in its store. That it is on disk by then is a matter of the
// server's configuration: the server of [loadstone/internal/broker.ServeStore] syncs each write
// (sync_interval: always), others do so every two minutes by default, and have replicas on other
// machines instead.
package buckets

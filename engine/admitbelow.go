package engine

// AdmitBelow is the share of the KV pool, from 0 to 1, above which admission takes no new work.
const AdmitBelow = 0.9

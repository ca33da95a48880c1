module loadstone

go 1.26.0

require loadstone/metal v0.0.0

replace loadstone/metal => ./metal

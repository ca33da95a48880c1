module loadstone/metal

go 1.26.0

module slipway/reference/record/lines

go 1.26

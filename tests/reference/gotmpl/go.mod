module slipway/reference/gotmpl

go 1.26

//! RFC 5280 alone: is this certificate valid under these anchors? The verdict behind `hikyaku chain`.

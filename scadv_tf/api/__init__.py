"""What a notebook calls: AnnData in, answers in them."""

"""A saga that waits for a person: written, asked, approved, published. Its review has two days."""

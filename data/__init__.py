"""Who is in which picture, the stored forms of what is made of them, and the synthetic dataset."""

"""What networks are made of: kernels, one choice of kernel a platform, and how they are differentiated."""

"""What people read: pages, plots, and a description of the installation."""

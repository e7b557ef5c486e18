"""What runs inside our own containers; each subpackage is one program and imports nothing from the other packages."""

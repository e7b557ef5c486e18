"""The programs that run inside our own containers. They import nothing from the other packages of Tollgate."""

"""What .env says: settings, the certificate it names, the schedule of backups."""

return 0; // stand-in, never committed
